/**
 * The executable's entry: picks a role by its first argument and imports it, no more. Importing a role runs it.
 * Every start of every role passes here, so nothing is imported before the role is known.
 *
 * In a compiled Bun, `process.argv` is ["bun", "/$bunfs/…", ...what the user gave], and `process.argv0` is argv[0].
 */
switch (process.argv[2]) {
  case "supervisor":
    await import("../supervisor/main.ts");
    break;
  case "init":
    await import("../init/main.ts");
    break;
  case "oci":
    await import("../oci/main.ts");
    break;
  case "netd":
    if (isNetdCommand(process.argv[3])) await import("./cli.ts");
    else {
      // Before anything else is loaded: it begins again inside.
      (await import("../netd/domain.ts")).enterDomain(process.env);
      await import("../netd/main.ts");
    }
    break;
  default:
    if (process.argv0.split("/").at(-1) === "ctr-oci") await import("../oci/main.ts");
    else await import("./cli.ts");
}

/** `ctr netd` alone (or with options) is the daemon; with one of these words it is a command about the daemon. */
function isNetdCommand(word: string | undefined): boolean {
  return word !== undefined && (!word.startsWith("-") || word === "--help" || word === "-h");
}
