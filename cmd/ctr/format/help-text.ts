/** What `--help` says about formats. */

const REFER =
  "Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates";

/** `--format` of a list. */
export const FORMAT_HELP =
  "Format output using a custom template:\n'table':            Print output in table format with column headers (default)\n" +
  "'table TEMPLATE':   Print output in table format using the given Go template\n'json':             Print in JSON format\n" +
  `'TEMPLATE':         Print output using the given Go template.\n${REFER}`;

/** `--format` of an object. */
export const INSPECT_HELP =
  "Format output using a custom template:\n'json':             Print in JSON format\n" +
  `'TEMPLATE':         Print output using the given Go template.\n${REFER}`;
