/** Who we are to a registry. */

/** A password, or the identity token a token server gave for one (then `username` is `<token>`). Never printed. */
export interface Credentials {
  readonly username: string;
  readonly password: string;
  readonly identityToken: string | undefined;
}

/** Where credentials come from: a registry's host, `https://index.docker.io/v1/` for Docker Hub. */
export interface Authority {
  get(server: string): Promise<Credentials | undefined>;
}
