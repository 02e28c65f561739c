declare module "*.b64" {
  const text: string;

  export { text as default };
}
