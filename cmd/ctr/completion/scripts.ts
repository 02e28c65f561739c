/**
 * The shells' halves of completion. Each hands the words before the cursor to `ctr __complete` (the program as typed, so
 * that a copy of ctr in another place completes its own engine) and offers the lines that come back.
 */

export type Shell = "bash" | "zsh" | "fish";

/**
 * bash splits words at the characters of COMP_WORDBREAKS, among them `:` and `=`, which stand in our words; so they are
 * put together again, and what readline has behind the last of these characters is cut off the candidates.
 */
const BASH = String.raw`# bash completion for ctr: source <(ctr completion bash)

_ctr() {
  local line=${"$"}{COMP_LINE:0:COMP_POINT} rest words=() word i
  rest=$line
  for ((i = 0; i <= COMP_CWORD; i++)); do
    word=${"$"}{COMP_WORDS[i]}
    ((i == COMP_CWORD)) && [[ $rest != *"$word"* ]] && word=${"$"}{rest##*[[:space:]]}
    if ((i == 0)) || [[ $rest == [[:space:]]* ]]; then words+=("$word"); else words[${"$"}{#words[@]}-1]+=$word; fi
    rest=${"$"}{rest#"${"$"}{rest%%[![:space:]]*}"}
    rest=${"$"}{rest#"$word"}
  done
  local cur=${"$"}{words[${"$"}{#words[@]}-1]} args=("${"$"}{words[@]:1}")
  for ((i = 0; i < ${"$"}{#args[@]}; i++)); do args[i]=${"$"}{args[i]//[\"\'\\]/}; done

  local lines=() directive=4 cut=
  mapfile -t lines < <("${"$"}{words[0]}" __complete -- "${"$"}{args[@]}" 2> /dev/null)
  if ((${"$"}{#lines[@]} > 0)); then
    directive=${"$"}{lines[${"$"}{#lines[@]}-1]#:}
    unset "lines[${"$"}{#lines[@]}-1]"
  fi
  # What readline does not see of the word.
  [[ $cur == *[:=]* ]] && cut=${"$"}{cur%"${"$"}{cur##*[:=]}"}
  COMPREPLY=()
  for word in "${"$"}{lines[@]}"; do
    word=${"$"}{word%%$'\t'*}
    COMPREPLY+=("${"$"}{word#"$cut"}")
  done
  ((directive & 2)) && compopt -o nospace
  if ((directive & 4)); then compopt +o default; elif ((${"$"}{#COMPREPLY[@]} == 0)); then compopt -o default -o filenames; fi
  return 0
}

complete -o default -F _ctr ctr
`;

const ZSH = String.raw`#compdef ctr
# zsh completion for ctr: source <(ctr completion zsh), or save it as _ctr in a directory of $fpath

_ctr() {
  local -a lines described
  local directive=4 line word
  lines=("${"$"}{(@f)$("${"$"}{(Q)words[1]}" __complete -- "${"$"}{(@Q)words[2,CURRENT-1]}" "${"$"}{(Q)PREFIX}" 2> /dev/null)}")
  if [[ ${"$"}{lines[-1]} == :* ]]; then
    directive=${"$"}{lines[-1]#:}
    lines[-1]=()
  fi
  for line in $lines; do
    word=${"$"}{line%%$'\t'*}
    if [[ $line == *$'\t'* ]]; then
      described+=("${"$"}{word//:/\\:}:${"$"}{line#*$'\t'}")
    else
      described+=("${"$"}{word//:/\\:}")
    fi
  done
  local -a space
  ((directive & 2)) && space=(-S '')
  local found=1
  if ((${"$"}{#described})); then _describe -V completions described "${"$"}{space[@]}" && found=0; fi
  if ! ((directive & 4)); then _files && found=0; fi
  return found
}

if [ "$funcstack[1]" = "_ctr" ]; then _ctr "$@"; else compdef _ctr ctr; fi
`;

const FISH = String.raw`# fish completion for ctr: ctr completion fish | source

function __ctr_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l lines ($words[1] __complete -- $words[2..-1] "$current" 2> /dev/null)
    test (count $lines) -gt 0; or return
    set -l directive (string replace -r '^:' '' -- $lines[-1])
    set -e lines[-1]
    test (count $lines) -gt 0; and printf '%s\n' $lines
    if test (math "bitand($directive, 4)") -eq 0
        __fish_complete_path "$current"
    end
end

complete -c ctr -f -a '(__ctr_complete)'
`;

export const SCRIPTS: { readonly [Name in Shell]: string } = { bash: BASH, zsh: ZSH, fish: FISH };
