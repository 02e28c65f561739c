/** What is written anew whenever the images have changed. */
import type { Engine } from "../db/engine.ts";
import { keepShownImages } from "./keep-shown.ts";
import { writeIndex } from "./layout-index.ts";

/** Writes the layout's index and the table of `images` from the database. Inside the transaction that changed images or names. */
export function writeListings(engine: Engine): void {
  writeIndex(engine);
  keepShownImages(engine);
}
