/** Work that may fail without harm. */

/** What goes wrong here changes nothing: each caller says why. */
export function ignore(): void {}

/** Does it; what it throws goes to `onFailure`. */
export function attempt(action: () => void, onFailure: (error: unknown) => void): void {
  try {
    action();
  } catch (error) {
    onFailure(error);
  }
}
