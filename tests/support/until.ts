import { setTimeout as delay } from 'node:timers/promises'

/** Between two checks, in milliseconds: what a test waits for needs the processor more than the test does. */
const checkPeriodMs = 10

/** Waits until something is so that nothing announces. The test's time limit ends the wait. */
export async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await delay(checkPeriodMs)
}
