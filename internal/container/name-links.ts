/**
 * What running containers are called: `<state>/names/<name or short id>`, a link to the container's id, kept by its
 * supervisor, so that `exec` finds that without opening the store, which takes longer than all the rest of it. The store
 * alone is the truth: who follows a link asks the supervisor whether it is the one that is meant.
 */
import { EEXIST, ENOENT, isErrno } from "../errors/error.ts";
import { AT_FDCWD } from "../sys/fd.ts";
import { mkdirAll, renameat2, symlinkat, tryReadlink, unlinkIfThere } from "../sys/file.ts";
import { isId, isName } from "./names.ts";
import type { ContainerRecord } from "./record.ts";

const SHORT_ID = 12;
/** Of a file's name; a container's may be longer, and is then found in the store. */
const MAX_NAME = 255;

type Called = Pick<ContainerRecord, "id" | "name">;

/** Makes the links; another container's, left by a crash or a rename, is replaced. */
export function publishNames(state: string, { id, name }: Called): void {
  for (const word of wordsOf({ id, name })) {
    const path = linkPath(state, word);
    try {
      symlinkat(id, AT_FDCWD, path);
    } catch (error) {
      if (isErrno(error, ENOENT)) {
        mkdirAll(`${state}/names`, 0o700);
        publishNames(state, { id, name });
        return;
      }
      if (!isErrno(error, EEXIST)) throw error;
      // No container's name begins with a dot.
      const aside = linkPath(state, `.${id}`);
      unlinkIfThere(aside);
      symlinkat(id, AT_FDCWD, aside);
      renameat2(AT_FDCWD, aside, AT_FDCWD, path);
    }
  }
}

/** Takes the links back, as far as they are this container's. */
export function withdrawNames(state: string, { id, name }: Called): void {
  for (const word of wordsOf({ id, name })) {
    if (readLink(linkPath(state, word)) === id) unlinkIfThere(linkPath(state, word));
  }
}

/** The id of the running container that may be meant by a name, a short id or an id. */
export function linkedContainer(state: string, word: string): string | undefined {
  if (isId(word)) return word;
  if (!isName(word) || word.length > MAX_NAME) return undefined;
  const id = readLink(linkPath(state, word));
  return id !== undefined && isId(id) ? id : undefined;
}

function wordsOf({ id, name }: Called): string[] {
  return [name, id.slice(0, SHORT_ID)].filter((word) => word.length <= MAX_NAME);
}

function linkPath(state: string, word: string): string {
  return `${state}/names/${word}`;
}

function readLink(path: string): string | undefined {
  const target = tryReadlink(path);
  return target === undefined ? undefined : new TextDecoder().decode(target);
}
