/** `ctr stats` on a terminal: redrawn in place, with a history of each container, sorted by a key that is pressed. */
import type { ContainerStats } from "../../internal/container/stats.ts";
import { POLLIN, read } from "../../internal/sys/fd.ts";
import { isTerminal } from "../../internal/sys/terminal.ts";
import { pollAny } from "../../internal/sys/watch.ts";
import { cpuText, memoryPercent, memoryText, pair, percentText } from "./format/stats.ts";
import { print } from "./output.ts";
import { rawTerminal, terminalSize } from "./terminal.ts";

const STDIN = 0;
const HISTORY = 20;
const BARS = " ▁▂▃▄▅▆▇█";

/** One column: its title, its key, what it sorts by (largest first unless it is a name), its text. */
interface Column {
  readonly title: string;
  readonly key: string;
  readonly order: (a: ContainerStats, b: ContainerStats) => number;
  readonly text: (stats: ContainerStats, isShort: boolean) => string;
}

const largest = (value: (stats: ContainerStats) => number) => (a: ContainerStats, b: ContainerStats) =>
  value(b) - value(a);

const COLUMNS: readonly Column[] = [
  {
    title: "CONTAINER ID",
    key: "i",
    order: (a, b) => (a.id < b.id ? -1 : 1),
    text: ({ id }, isShort) => (isShort ? id.slice(0, 12) : id),
  },
  { title: "NAME", key: "a", order: (a, b) => a.name.localeCompare(b.name), text: ({ name }) => name },
  { title: "CPU %", key: "c", order: largest(({ cpuPercent }) => cpuPercent ?? 0), text: cpuText },
  { title: "MEM USAGE / LIMIT", key: "m", order: largest(({ memoryBytes }) => memoryBytes), text: memoryText },
  { title: "MEM %", key: "%", order: largest(memoryPercent), text: (stats) => percentText(memoryPercent(stats)) },
  {
    title: "NET I/O",
    key: "n",
    order: largest(({ receivedBytes, sentBytes }) => receivedBytes + sentBytes),
    text: ({ receivedBytes, sentBytes }) => pair(receivedBytes, sentBytes),
  },
  {
    title: "BLOCK I/O",
    key: "b",
    order: largest(({ readBytes, writeBytes }) => readBytes + writeBytes),
    text: ({ readBytes, writeBytes }) => pair(readBytes, writeBytes),
  },
  { title: "PIDS", key: "p", order: largest(({ pids }) => pids), text: ({ pids }) => String(pids) },
];

/** What the keys have chosen, and what was seen so far. */
interface View {
  readonly isShort: boolean;
  sortKey: string | undefined;
  isReversed: boolean;
  readonly cpu: Map<string, number[]>;
  readonly memory: Map<string, number[]>;
}

/** Draws what `look` sees every `intervalMs`, until `q` or ctrl-c; the terminal is given back as it was. */
export async function showLive(
  look: () => readonly ContainerStats[],
  intervalMs: number,
  isShort: boolean,
): Promise<void> {
  const view: View = { isShort, sortKey: undefined, isReversed: false, cpu: new Map(), memory: new Map() };
  using _raw = rawTerminal();
  using _cursor = hiddenCursor();
  using ending = endingSignals();
  for (let next = Bun.nanoseconds(); ; next += intervalMs * 1e6) {
    const stats = look();
    remember(view, stats);
    draw(view, stats);
    for (let leftMs = timeTo(next, intervalMs); leftMs > 0; leftMs = timeTo(next, intervalMs)) {
      const key = await keyWithin(leftMs);
      if (ending.hasCome() || key === "q" || key === "\x03") return;
      if (key !== undefined && press(view, key)) draw(view, stats);
    }
  }
}

function timeTo(startNs: number, intervalMs: number): number {
  return Math.ceil(intervalMs - (Bun.nanoseconds() - startNs) / 1e6);
}

function hiddenCursor(): Disposable {
  print("\x1b[?25l\x1b[2J");
  return { [Symbol.dispose]: () => print("\x1b[?25h\r\n") };
}

/** So that the terminal is given back; in raw mode ctrl-c comes as a key. */
function endingSignals(): Disposable & { readonly hasCome: () => boolean } {
  let hasCome = false;
  const note = () => {
    hasCome = true;
  };
  const names = ["SIGTERM", "SIGHUP", "SIGINT"] as const;
  for (const name of names) process.on(name, note);
  return {
    hasCome: () => hasCome,
    [Symbol.dispose]: () => {
      for (const name of names) process.off(name, note);
    },
  };
}

/** A signal's handler runs between two waits: so long may it take. */
const SIGNAL_MS = 250;

/** The next key; undefined after the time. */
async function keyWithin(ms: number): Promise<string | undefined> {
  // Signals are told to the event loop, which a wait in the kernel would keep from running.
  await Bun.sleep(0);
  const waitMs = Math.min(ms, SIGNAL_MS);
  if (!isTerminal(STDIN)) {
    await Bun.sleep(waitMs);
    return undefined;
  }
  const [events = 0] = pollAny([{ fd: STDIN, events: POLLIN }], waitMs);
  if (events === 0) return undefined;
  const bytes = new Uint8Array(16);
  const size = read(STDIN, bytes);
  // The end of the input is the end of whoever watches.
  return size === 0 ? "q" : String.fromCharCode(bytes[0] ?? 0);
}

/** True if the key changes what is shown. */
function press(view: View, key: string): boolean {
  if (key === "r") view.isReversed = !view.isReversed;
  else if (COLUMNS.some((column) => column.key === key)) view.sortKey = view.sortKey === key ? undefined : key;
  else return false;
  return true;
}

function remember({ cpu, memory }: View, stats: readonly ContainerStats[]): void {
  const ids = new Set(stats.map(({ id }) => id));
  for (const history of [cpu, memory]) for (const id of history.keys()) if (!ids.has(id)) history.delete(id);
  for (const one of stats) {
    push(cpu, one.id, one.cpuPercent ?? 0);
    push(memory, one.id, one.memoryBytes);
  }
}

function push(history: Map<string, number[]>, id: string, value: number): void {
  const values = history.get(id) ?? [];
  values.push(value);
  if (values.length > HISTORY) values.shift();
  history.set(id, values);
}

/** The last values, each against the highest of them and `least`, which is full height at the least. */
export function sparkline(values: readonly number[], least: number): string {
  const top = Math.max(least, ...values);
  const bars = values.map((value) => BARS[Math.ceil((value / top) * (BARS.length - 1))] ?? " ");
  return bars.join("").padStart(HISTORY);
}

const PADDING = 3;
const ONE_CPU = 100;

function draw(view: View, stats: readonly ContainerStats[]): void {
  const { rows, columns } = terminalSize() ?? { rows: 24, columns: 80 };
  const sorted = sort(view, stats);
  const cells = sorted.map((one) => COLUMNS.map(({ text }) => text(one, view.isShort)));
  const titles = COLUMNS.map(({ title, key }) =>
    key === view.sortKey ? `${title} ${view.isReversed ? "▲" : "▼"}` : title,
  );
  const widths = titles.map(
    (title, at) => Math.max(title.length, ...cells.map((row) => row[at]?.length ?? 0)) + PADDING,
  );
  const line = (row: readonly string[]) => row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join("");
  const width = widths.reduce((total, one) => total + one, 0);
  const hasHistory = width + 2 * (HISTORY + PADDING) <= columns;
  const history = ({ id }: ContainerStats) =>
    hasHistory
      ? `${sparkline(view.cpu.get(id) ?? [], ONE_CPU / 10)}${" ".repeat(PADDING)}${sparkline(view.memory.get(id) ?? [], 1)}`
      : "";
  const titleOfHistory = hasHistory ? `${"CPU".padEnd(HISTORY + PADDING)}MEM` : "";
  const shown = sorted.slice(0, Math.max(0, rows - 2));
  const lines = [
    paint("1", fit(line(titles) + titleOfHistory, columns)),
    ...shown.map((one, at) => fit(line(cells[at] ?? []) + history(one), columns)),
  ];
  const left = sorted.length - shown.length;
  const help = `sort: c cpu, m memory, % of limit, n net, b block, p pids, a name, i id; r reverse, q quit`;
  lines.push(paint("2", fit(left > 0 ? `${left} more; ${help}` : help, columns)));
  // Each line is cleared behind its text, and what is below them: nothing flickers.
  print(`\x1b[H${lines.map((text) => `${text}\x1b[K`).join("\r\n")}\x1b[J`);
}

function sort({ sortKey, isReversed }: View, stats: readonly ContainerStats[]): readonly ContainerStats[] {
  const column = COLUMNS.find(({ key }) => key === sortKey);
  const sorted = column === undefined ? [...stats] : stats.toSorted(column.order);
  return isReversed ? sorted.reverse() : sorted;
}

/** A line may not wrap. Names have no control characters: they were checked when they were given. */
function fit(text: string, columns: number): string {
  return text.length <= columns ? text : text.slice(0, columns);
}

function paint(code: string, text: string): string {
  const { NO_COLOR } = process.env;
  return NO_COLOR === undefined || NO_COLOR === "" ? `\x1b[${code}m${text}\x1b[0m` : text;
}
