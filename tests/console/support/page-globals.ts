/**
 * Gives this process what the console's code expects of a page: events, and whether the browser has a network.
 *
 * @returns what takes it away again
 */
export function providePageGlobals(): { close(): void } {
  const page = new EventTarget()
  const globals = {
    addEventListener: page.addEventListener.bind(page),
    removeEventListener: page.removeEventListener.bind(page),
  }
  Object.assign(globalThis, globals)
  Object.defineProperty(navigator, 'onLine', { value: true, configurable: true })
  return {
    close() {
      for (const name of Object.keys(globals)) Reflect.deleteProperty(globalThis, name)
      Reflect.deleteProperty(navigator, 'onLine')
    },
  }
}
