/** The files are those of v1. */
export { pids } from "../v1/pids.ts";
