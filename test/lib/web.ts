/** A web server in a container of the minimal image, and callers in others. */
import type { TestEngine } from "./engine.ts";
import { waitFor } from "./wait.ts";

/** What the server answers. */
export const PAGE = "hello";

/** Starts a container that serves PAGE on port 80; returns when it does. */
export async function startWeb(engine: TestEngine, name: string, ...flags: readonly string[]): Promise<void> {
  const image = await engine.image("minimal");
  const script = `echo ${PAGE} > /tmp/index.html; exec httpd -f -p 80 -h /tmp`;
  await engine.ok("run", "-d", "--name", name, ...flags, image, "sh", "-c", script);
  await waitFor("the server", async () => (await fetchFrom(engine, name, "127.0.0.1")) === PAGE);
}

/** What a container gets from the address: the page, or nothing after a second. */
export async function fetchFrom(engine: TestEngine, name: string, address: string): Promise<string> {
  const result = await engine.ctr("exec", name, "timeout", "1", "wget", "-q", "-O", "-", `http://${address}/`);
  return result.stdout.trim();
}
