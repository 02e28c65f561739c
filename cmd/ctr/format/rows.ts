/** `--format` of the commands that list things: a template per row, `table …` with headers, or `json`. */
import { safeJson } from "./safe.ts";
import { layoutTable } from "./table.ts";
import { compileTemplate, MissingField } from "./template.ts";
import { FUNCTIONS, JSON_TEXT, type TemplateFunction } from "./template-functions.ts";

/** What can be shown of a row: name → header and text. `method` fields take arguments and are not part of `json`. */
export type RowFields<Row> = {
  readonly [field: string]: {
    readonly header: string;
    readonly value?: (row: Row) => string;
    readonly method?: (row: Row, argument: string) => string;
  };
};

export interface RowOptions {
  /** Docker's name of what a row is, for the error about a field it does not have. */
  readonly type?: string;
  /** The template that `raw` stands for, where Docker still has that word. */
  readonly raw?: string;
}

/**
 * The text of a list. `defaultTable` is what a plain `table` shows: `table {{.ID}}\t…`.
 * Throws for a template that cannot be parsed, and for a field the rows do not have.
 */
export function formatRows<Row>(
  format: string,
  fields: RowFields<Row>,
  rows: readonly Row[],
  defaultTable: string,
  { type = "*formatter.Context", raw }: RowOptions = {},
): string {
  const trimmed = raw !== undefined && format.trim() === "raw" ? raw : format.trim();
  if (trimmed === "json") return rows.map((row) => `${htmlSafe(safeJson(jsonRow(fields, row)))}\n`).join("");
  const isTable = /^table(\s|$)/.test(trimmed);
  const wanted = isTable && trimmed === "table" ? defaultTable : trimmed;
  // Docker lets a shell's single quotes carry \t and \n.
  const template = (isTable ? wanted.replace(/^table\s*/, "") : wanted).replaceAll("\\t", "\t").replaceAll("\\n", "\n");
  const render = compileTemplate(template, {
    missing: (_, name) => new MissingField(`can't evaluate field ${name} in type ${type}`),
  });
  const lines = rows.map((row) => render(rowData(fields, row)));
  if (!isTable) return lines.map((line) => `${line}\n`).join("");
  const header = compileTemplate(template, { missing: () => "<no value>", functions: HEADER_FUNCTIONS })(
    headerData(fields),
  );
  return layoutTable([header, ...lines].flatMap((line) => line.split("\n")).map((line) => line.split("\t")));
}

function rowData<Row>(fields: RowFields<Row>, row: Row): { readonly [name: string]: unknown } {
  const data: { [name: string]: unknown } = {};
  for (const name of Object.keys(fields)) {
    const { value, method } = fields[name] ?? {};
    // Computed only when the template asks: some cost a walk over a directory.
    data[name] = method === undefined ? () => value?.(row) : (argument: unknown) => method(row, String(argument));
  }
  // {{json .}} must see the texts, not the functions that make them
  Object.defineProperty(data, JSON_TEXT, { value: () => htmlSafe(safeJson(jsonRow(fields, row))) });
  return data;
}

function headerData<Row>(fields: RowFields<Row>): { readonly [name: string]: unknown } {
  const data: { [name: string]: unknown } = {};
  for (const [name, { header, method }] of Object.entries(fields))
    data[name] = method === undefined ? header : (argument: unknown) => headerOf(String(argument));
  return data;
}

/** The header of `{{.Label "com.example.my-name"}}` is `my name`. */
function headerOf(label: string): string {
  return label.slice(label.lastIndexOf(".") + 1).replace(/[-_]/g, " ");
}

/** JSON as Go's json.Marshal writes it: also safe inside of HTML. */
function htmlSafe(json: string): string {
  return json.replace(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** All values are strings, names sorted: what Docker's `--format json` prints. */
function jsonRow<Row>(fields: RowFields<Row>, row: Row): { readonly [name: string]: string } {
  const object: { [name: string]: string } = {};
  for (const name of Object.keys(fields).sort()) {
    const { value } = fields[name] ?? {};
    if (value !== undefined) object[name] = value(row);
  }
  return object;
}

/** In the header row these leave the header as it is. */
const same: TemplateFunction = { least: 1, most: Number.POSITIVE_INFINITY, call: ([value]) => value };
const HEADER_FUNCTIONS: { readonly [name: string]: TemplateFunction } = {
  json: same,
  title: same,
  lower: same,
  upper: same,
  join: same,
  truncate: same,
  split: { ...same, call: ([value]) => [value] },
  pad: FUNCTIONS["pad"] ?? same,
};
