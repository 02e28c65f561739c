import { describe, expect, test } from "bun:test";
import { compileObjectFormat } from "./object.ts";
import { formatRows, type RowFields } from "./rows.ts";

const OBJECT = {
  Id: "abc123",
  Name: "/web",
  Count: 3,
  State: { Status: "running", Running: true, Pid: 42, Health: null },
  Config: { Labels: { "com.example": "yes", tier: "front" }, Env: ["A=1", "B=<2>"], Cmd: null },
  HostConfig: { CapAdd: null, PidsLimit: null, Binds: [] },
  Ports: { "443/tcp": null, "80/tcp": [{ HostPort: "8080" }] },
};

describe("object formats", () => {
  test.each([
    ["{{.Id}}", "abc123"],
    ["{{ .State.Status }} and {{.Count}}", "running and 3"],
    ["{{- .Id -}}  x", "abc123x"],
    ["a  {{- /* gone */ -}}  b", "ab"],
    ["{{json .State}}", '{"Status":"running","Running":true,"Pid":42,"Health":null}'],
    ["{{json .HostConfig.CapAdd}} {{.HostConfig.CapAdd}} {{.HostConfig.PidsLimit}}", "null [] <nil>"],
    ["{{.Config.Env}}", "[A=1 B=<2>]"],
    ["{{json .Config.Env}}", '["A=1","B=<2>"]'],
    ["{{range .Config.Env}}{{println .}}{{end}}", "A=1\nB=<2>\n"],
    ["{{range $i, $e := .Config.Env}}{{$i}}={{$e}};{{end}}", "0=A=1;1=B=<2>;"],
    ["{{range $k, $v := .Config.Labels}}{{$k}}:{{$v}} {{end}}", "com.example:yes tier:front "],
    ["{{range .Config.Cmd}}x{{else}}none{{end}}", "none"],
    ["{{range .Config.Env}}{{.}}{{break}}{{end}}", "A=1"],
    ["{{range $i, $e := .Config.Env}}{{if eq $i 0}}{{continue}}{{end}}{{$e}}{{end}}", "B=<2>"],
    ['{{index .Config.Labels "com.example"}}', "yes"],
    ['[{{index .Config.Labels "nope"}}]', "[]"],
    ["{{.Config.Labels.nope}}", "<no value>"],
    ['{{(index (index .Ports "80/tcp") 0).HostPort}}', "8080"],
    ["{{range $p, $c := .Ports}}{{$p}} -> {{(index $c 0).HostPort}}{{break}}{{end}}", /index out of range|8080/],
    ["{{if .State.Running}}up{{else}}down{{end}}", "up"],
    ["{{if .HostConfig.Binds}}a{{else if .HostConfig.CapAdd}}b{{else}}c{{end}}", "c"],
    ["{{with .State}}{{.Pid}}{{end}}", "42"],
    ["{{with .HostConfig.CapAdd}}x{{else}}none{{end}}", "none"],
    ['{{if and .State.Running (eq .State.Status "running")}}ok{{end}}', "ok"],
    ["{{or .HostConfig.Binds .Id}}", "abc123"],
    ["{{not .State.Running}}", "false"],
    ["{{len .Config.Env}} {{len .Name}} {{len .Config.Labels}}", "2 4 2"],
    [
      '{{printf "%-8s|%5d|%q|%x|%.2f|%v|%%" .Name .Count "q" 255 1.5 .State.Running}}',
      '/web    |    3|"q"|ff|1.50|true|%',
    ],
    ['{{.Name | upper | printf "%s!"}}', "/WEB!"],
    [
      '{{join .Config.Env ","}} {{title "one two"}} {{lower "ABC"}} {{pad "x" 2 1}}| {{truncate .Id 3}}',
      "A=1,B=<2> One Two abc   x | abc",
    ],
    ['{{index (split "a:b:c" ":") 1}}', "b"],
    ["{{slice .Id 1 3}} {{slice .Id 3}}", "bc 123"],
    [
      '{{eq .Count 1 2 3}} {{ne .Count 3}} {{lt .Count 4}} {{ge .Count 4}} {{le "a" "b"}} {{gt 1 2}}',
      "true false true false true false",
    ],
    ["{{$x := .Id}}{{$x}}{{if true}}{{$x = .Name}}{{end}}{{$x}}{{$.Count}}", "abc123/web3"],
    ["{{\"a\\tb\\u00e9\"}}{{`raw\\n`}}{{'a'}}", "a\tbéraw\\n97"],
    ["{{print .Id .Count 4}}", "abc1233 4"],
    ["{{.Config.Labels}}", "map[com.example:yes tier:front]"],
    ["{{range 3}}{{.}}{{end}}", "012"],
    ["plain", "plain"],
    ["{{json .}}", JSON.stringify(OBJECT)],
  ])("%s", (format, expected) => {
    let output: string;
    try {
      output = compileObjectFormat(format)(OBJECT);
    } catch (error) {
      output = error instanceof Error ? error.message : "";
    }
    if (typeof expected === "string") expect(output).toBe(expected);
    else expect(output).toMatch(expected);
  });

  test.each([
    [
      "{{.Bogus}}",
      'template parsing error: template: :1:2: executing "" at <.Bogus>: map has no entry for key "Bogus"',
    ],
    [
      "{{.State.Bogus}}",
      'template parsing error: template: :1:8: executing "" at <.State.Bogus>: map has no entry for key "Bogus"',
    ],
    ["{{.Id.x}}", "can't evaluate field x in type interface {}"],
    ["{{", "unclosed action"],
    ["{{.Id", "unclosed action"],
    ["{{if .Id}}", "unexpected EOF"],
    ["{{end}}", "unexpected {{end}}"],
    ["{{else}}", "unexpected {{else}}"],
    ["{{}}", "missing value for command"],
    ["{{| .Id}}", "missing value for command"],
    ["{{.Id | | .Id}}", "unexpected <pipe> in command"],
    ["{{nope .Id}}", 'function "nope" not defined'],
    ["{{constructor}}", 'function "constructor" not defined'],
    ["{{.constructor}}", 'map has no entry for key "constructor"'],
    ['{{"x}}', "unterminated quoted string"],
    ["{{(.Id}}", "unclosed left paren"],
    ["{{.Id)}}", "unexpected right paren"],
    ["{{$x}}", 'undefined variable "$x"'],
    ["{{break}}", "{{break}} outside {{range}}"],
    ["{{index .Config.Env 7}}", "error calling index: index out of range: 7"],
    ["{{len 3}}", "error calling len"],
    ["{{truncate .Id}}", "wrong number of args for truncate: want 2 got 1"],
    ['{{.Id "x"}}', "can't give argument to non-function"],
    ["{{eq .Id 3}}", "incompatible types for comparison"],
    ['{{define "x"}}{{template "x"}}{{end}}{{template "x"}}', "exceeded maximum template depth"],
    ['{{template "nosuch"}}', 'template "nosuch" not defined'],
    ['{{if true}}{{define "x"}}{{end}}{{end}}', "unexpected {{define}}"],
    ['{{define "x"}}', "unexpected EOF"],
    [`${"{{if true}}".repeat(100)}${"{{end}}".repeat(100)}`, "nested too deeply"],
    [`{{${"(".repeat(100)}1${")".repeat(100)}}}`, "nested too deeply"],
  ])("%s is refused", (format, message) => {
    expect(() => compileObjectFormat(format)(OBJECT)).toThrow(message);
  });

  test("random templates end with text or an error, never anything else", () => {
    const pieces = [
      "{{",
      "}}",
      ".",
      "Id",
      " ",
      "|",
      "(",
      ")",
      "range",
      "end",
      "if",
      "$x",
      ":=",
      '"',
      "`",
      "'",
      "\\",
      "-",
      "/*",
      "*/",
      "index",
      "1",
      "else",
      ",",
    ];
    let seed = 7;
    const random = (below: number) => {
      seed = (seed * 1103515245 + 12345) & 0x7fffffff;
      return seed % below;
    };
    for (let round = 0; round < 3000; round++) {
      const format = Array.from({ length: random(14) }, () => pieces[random(pieces.length)]).join("");
      try {
        compileObjectFormat(format)(OBJECT);
      } catch (error) {
        expect((error as { kind?: string }).kind).toBe("invalid");
      }
    }
  });
});

interface Row {
  readonly id: string;
  readonly name: string;
}
const FIELDS: RowFields<Row> = {
  Names: { header: "NAMES", value: (row) => row.name },
  ID: { header: "CONTAINER ID", value: (row) => row.id },
  Label: { header: "LABEL", method: (row, label) => `${row.name}.${label}` },
};
const ROWS: readonly Row[] = [
  { id: "1234567890ab", name: "web" },
  { id: "ba0987654321", name: "a-long-name" },
];
const PLAIN = "table {{.ID}}\\t{{.Names}}";

describe("row formats", () => {
  test.each([
    ["{{.ID}} {{.Names}}", "1234567890ab web\nba0987654321 a-long-name\n"],
    ["json", '{"ID":"1234567890ab","Names":"web"}\n{"ID":"ba0987654321","Names":"a-long-name"}\n'],
    ["{{json .}}", '{"ID":"1234567890ab","Names":"web"}\n{"ID":"ba0987654321","Names":"a-long-name"}\n'],
    ["{{json .Names}}", '"web"\n"a-long-name"\n'],
    ["table", "CONTAINER ID   NAMES\n1234567890ab   web\nba0987654321   a-long-name\n"],
    [
      "table {{.Names}}\\t{{.ID}}",
      "NAMES         CONTAINER ID\nweb           1234567890ab\na-long-name   ba0987654321\n",
    ],
    [
      "table {{upper .Names}}\t{{truncate .ID 4}}",
      "NAMES         CONTAINER ID\nWEB           1234\nA-LONG-NAME   ba09\n",
    ],
    ['{{.Label "x"}}', "web.x\na-long-name.x\n"],
    ['{{.Names | printf "%.2s"}}', "we\na-\n"],
    ["x", "x\nx\n"],
  ])("%s", (format, expected) => {
    expect(formatRows(format, FIELDS, ROWS, PLAIN)).toBe(expected);
  });

  test("a table without rows has its header", () => {
    expect(formatRows("table", FIELDS, [], PLAIN)).toBe("CONTAINER ID   NAMES\n");
  });

  test("an unknown field is refused", () => {
    expect(() => formatRows("{{.Bogus}}", FIELDS, ROWS, PLAIN)).toThrow("can't evaluate field Bogus in type");
  });
});
