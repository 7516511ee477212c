import type { ChildProcess } from 'node:child_process'
import { Socket } from 'node:net'

/** The pipes of a process are sockets, which its type does not say. */
const socketsOf = (child: ChildProcess) => child.stdio.filter((stream) => stream instanceof Socket)

/** Lets the event loop end although a process that files share is running. Its output is still read while the loop runs. */
export function letLoopEnd(child: ChildProcess): void {
  child.unref()
  for (const socket of socketsOf(child)) socket.unref()
}

/** Keeps the event loop alive again until a process has ended. */
export function holdLoop(child: ChildProcess): void {
  child.ref()
  for (const socket of socketsOf(child)) socket.ref()
}
