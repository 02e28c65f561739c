/** What netd tells whoever runs it, one line at a time. */
export const LOG_LEVELS = ["error", "warning", "info", "debug"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** A line; unless told otherwise it is of something that failed and that netd goes on after. */
export type Log = (line: string, level?: LogLevel) => void;
