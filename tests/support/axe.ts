import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Page } from 'playwright-core'

type Violation = { id: string; impact?: string | null; nodes: { html: string }[] }

declare const axe: { run(): Promise<{ violations: Violation[] }> }

const source = readFileSync(fileURLToPath(import.meta.resolve('axe-core/axe.min.js')), 'utf8')

/** Returns what axe finds on a page that is serious or critical, one line each. */
export async function seriousFindings(page: Page): Promise<string[]> {
  // Evaluated, not added as a script: the page's content security policy would forbid that.
  await page.evaluate(source)
  const { violations } = await page.evaluate(() => axe.run())
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html.slice(0, 200)}`))
}
