/**
 * Exchanges two names as fast as it can until it is killed, as an attacker in a container would to be between a check and
 * a use: `bun swap.ts A B`. Prints the number of exchanges once it is told to stop by the end of its standard input.
 */
import { AT_FDCWD } from "../../internal/sys/fd.ts";
import { RENAME_EXCHANGE, renameat2 } from "../../internal/sys/file.ts";

const [a = "", b = ""] = process.argv.slice(2);
let isOver = false;
Bun.stdin.text().then(() => {
  isOver = true;
});
let count = 0;
while (!isOver) {
  for (let turn = 0; turn < 200; turn++) renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
  count += 200;
  await new Promise((resolve) => setImmediate(resolve));
}
console.log(count);
