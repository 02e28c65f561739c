/** The first frame of every conversation: which one it is, and its version. */
import { ProtocolError } from "../errors/error.ts";
import { asFields, integer, text } from "./fields.ts";

export interface Greeting {
  readonly name: string;
  readonly version: number;
}

/** What this end says first. */
export function hello(conversation: Greeting): object {
  return { type: "hello", conversation: conversation.name, version: conversation.version };
}

/** Throws ProtocolError unless the first frame greets for this conversation and version. */
export function checkHello(value: unknown, conversation: Greeting): void {
  const fields = asFields(value);
  if (text(fields, "type") !== "hello") throw new ProtocolError("the first frame must be a hello");
  const name = text(fields, "conversation");
  const version = integer(fields, "version", 1);
  if (name !== conversation.name || version !== conversation.version) {
    throw new ProtocolError(
      `the other side speaks ${name} version ${version}, this one ${conversation.name} version ${conversation.version}`,
    );
  }
}
