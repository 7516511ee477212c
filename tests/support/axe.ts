import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Page } from 'playwright-core'

type Violation = { id: string; impact?: string | null; nodes: { html: string }[] }
type Context = { include: string[][] }

declare const axe: { run(context?: Context): Promise<{ violations: Violation[] }> }

const source = readFileSync(fileURLToPath(import.meta.resolve('axe-core/axe.min.js')), 'utf8')

/** Returns what axe finds on a page that is serious or critical, one line each. */
export async function seriousFindings(page: Page): Promise<string[]> {
  await addAxe(page)
  const { violations } = await page.evaluate(() => axe.run())
  return linesOf(violations.filter(({ impact }) => impact === 'serious' || impact === 'critical'))
}

/** Returns all that axe finds in parts of a page, minor findings included. */
export async function allFindings(page: Page, selectors: readonly string[]): Promise<string[]> {
  await addAxe(page)
  const include = selectors.map((selector) => [selector])
  const { violations } = await page.evaluate((context) => axe.run(context), { include })
  return linesOf(violations)
}

/** Evaluates axe in the page, not as a script of it: the page's content security policy would forbid that. */
async function addAxe(page: Page): Promise<void> {
  await page.evaluate(source)
}

function linesOf(violations: Violation[]): string[] {
  return violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html.slice(0, 200)}`))
}
