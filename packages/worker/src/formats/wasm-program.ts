/** What is used of WebAssembly here. The types of Node have none of it. */
declare const WebAssembly: {
  Module: new (bytes: Uint8Array) => object
  Instance: new (program: object, imports: object) => WasmInstance
}
type WasmInstance = { exports: object }

/**
 * Compiles a program of WebAssembly for all its instances. V8 would compile it again for each that starts while no other is in
 * use, which takes longer than the start of an instance.
 *
 * @returns a function that starts an instance, as Emscripten's `instantiateWasm`: `receive` takes the instance
 */
export function compileWasm(bytes: Uint8Array) {
  const program = new WebAssembly.Module(bytes)
  return <Received>(imports: object, receive: (instance: WasmInstance) => Received): Received =>
    receive(new WebAssembly.Instance(program, imports))
}
