/** What an init, or netd for a program that runs, is to set on an interface. */
import { ProtocolError } from "../errors/error.ts";
import { asFields, type Fields, integer, list, optionalInteger, optionalText, text, textList } from "./fields.ts";

/** A route of an endpoint; without `gateway` the destination is on the link. */
export interface Route {
  /** `0.0.0.0/0` is the default route. */
  readonly destination: string;
  readonly gateway?: string;
}

/** What the sandbox's init has to set on the interface it finds. */
export interface InterfaceSetup {
  /** `eth0`: the name it was born with. */
  readonly name: string;
  /** Its number inside the sandbox. */
  readonly index: number;
  readonly address: string;
  readonly prefixLength: number;
  readonly routes: readonly Route[];
  /** On networks with IPv6. */
  readonly address6?: string;
  readonly prefixLength6?: number;
  /** More addresses of the link, of either kind. */
  readonly linkLocal?: readonly string[];
}

/** Checks what init is told about its interface, on whichever pipe it comes. Throws ProtocolError. */
export function decodeInterfaceSetup(value: unknown): InterfaceSetup {
  const fields = asFields(value);
  return {
    name: text(fields, "name"),
    index: integer(fields, "index", 1, 0x7fffffff),
    address: text(fields, "address"),
    prefixLength: integer(fields, "prefixLength", 0, 32),
    routes: list(fields, "routes", route),
    ...optional("address6", optionalText(fields, "address6")),
    ...optional("prefixLength6", optionalInteger(fields, "prefixLength6", 0, 128)),
    ...optional("linkLocal", optionalTexts(fields, "linkLocal")),
  };
}

function route(value: unknown): Route {
  const fields = asFields(value);
  const gateway = optionalText(fields, "gateway");
  return { destination: text(fields, "destination"), ...(gateway === undefined ? {} : { gateway }) };
}

const MAX_TEXTS = 256;
const MAX_TEXT = 255;

export function optionalTexts(fields: Fields, name: string): readonly string[] | undefined {
  if (fields[name] === undefined || fields[name] === null) return undefined;
  const texts = textList(fields, name);
  if (texts.length > MAX_TEXTS || texts.some((one) => one.length > MAX_TEXT))
    throw new ProtocolError(`${name} must be at most ${MAX_TEXTS} of at most ${MAX_TEXT} characters`);
  return texts;
}

/** A field that is left out where it has no value. */
export function optional<Name extends string, T>(name: Name, value: T | undefined): { readonly [N in Name]?: T } {
  return value === undefined ? {} : ({ [name]: value } as { readonly [N in Name]?: T });
}
