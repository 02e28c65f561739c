/** The runtime-spec that is carried out. */
export const SPEC_VERSION = "1.3.0";
