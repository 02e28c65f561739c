/** A mount of a container as it is recorded, and what `--mount` adds to the words of `-v`. */

/** What only `--mount` and an inherited mount have; absent fields are Docker's defaults. */
export interface MountExtras {
  /** Of a bind; without it mounts below come along, and read-only reaches as far. */
  readonly recursion?: "disabled" | "writable" | "readonly";
  /** Of a bind whose missing source is an error (`--mount` without `bind-create-src`). */
  readonly needsSource?: true;
  /** Of a bind: with a user namespace its files are shown with that one's owners. */
  readonly idmap?: true;
  /** Of a volume: the directory inside it that is mounted. */
  readonly subpath?: string;
  /** Of a tmpfs: the words of its options. */
  readonly tmpfs?: readonly string[];
}

/** The options of the `local` driver: what mount(8) would be told. */
export interface LocalOptions {
  readonly [name: string]: string;
}

/** How a volume is to be made. */
export interface WantedVolume {
  readonly driver: string;
  readonly options: LocalOptions;
  readonly labels: { readonly [name: string]: string };
}

/** A mount as it will be made (Docker's `Mounts`, with what of it Docker does not show). */
export interface MountPoint extends MountExtras {
  readonly Type: "bind" | "volume" | "tmpfs";
  readonly Name?: string;
  /** On the host; empty for a tmpfs. */
  readonly Source: string;
  readonly Destination: string;
  readonly Mode: string;
  readonly RW: boolean;
  readonly Propagation: string;
  /** An empty volume takes the image's content. */
  readonly copiesUp?: boolean;
  /** Options of its volume's driver: it is not the directory `Source` that is mounted, but what they say. */
  readonly options?: LocalOptions;
}

/** The label of volumes that nobody named. */
export const ANONYMOUS_LABEL = "com.docker.volume.anonymous";
