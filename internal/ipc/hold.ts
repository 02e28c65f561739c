/** What starts an init that holds. */

/** The one byte; a connection that ends without it was somebody who looked, or died. */
export const GO = 0x67;
