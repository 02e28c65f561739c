/** What `build.ts` stamps in. From a source tree (`bun cmd/ctr/main.ts`) nothing is stamped. */
declare const CTR_VERSION: string | undefined;
declare const CTR_COMMIT: string | undefined;

export const VERSION: string = typeof CTR_VERSION === "string" ? CTR_VERSION : "0.0.0-dev";
export const COMMIT: string = typeof CTR_COMMIT === "string" ? CTR_COMMIT : "unknown";
