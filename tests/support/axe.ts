import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Page } from 'playwright-core'

type Violation = { id: string; impact?: string | null; nodes: { html: string }[] }

declare const document: object
declare const axe: { run(context: object, options: object): Promise<{ violations: Violation[] }> }

const source = readFileSync(fileURLToPath(import.meta.resolve('axe-core/axe.min.js')), 'utf8')

/** `colorsOnly`: for a page that was checked before in another color scheme. The other rules would find the same again. */
type Rules = { colorsOnly?: boolean }

/** The rules whose outcome depends on colors. */
const colorRules = ['color-contrast', 'link-in-text-block']

/** Returns axe's options. Passed and inapplicable rules are not described. */
const optionsOf = ({ colorsOnly }: Rules) => ({
  resultTypes: ['violations'],
  ...(colorsOnly && { runOnly: { type: 'rule', values: colorRules } }),
})

/** Returns what axe finds on a page that is serious or critical, one line each. */
export async function seriousFindings(page: Page, rules: Rules = {}): Promise<string[]> {
  await addAxe(page)
  const { violations } = await page.evaluate((options) => axe.run(document, options), optionsOf(rules))
  return linesOf(violations.filter(({ impact }) => impact === 'serious' || impact === 'critical'))
}

/** Returns all that axe finds in parts of a page, minor findings included. */
export async function allFindings(
  page: Page,
  selectors: readonly string[],
  rules: Rules = {},
): Promise<string[]> {
  await addAxe(page)
  const include = selectors.map((selector) => [selector])
  const { violations } = await page.evaluate(([include, options]) => axe.run({ include }, options), [
    include,
    optionsOf(rules),
  ] as const)
  return linesOf(violations)
}

/**
 * Evaluates axe in the page, once after each load, and not as a script of it: the page's content security policy would forbid
 * that.
 */
async function addAxe(page: Page): Promise<void> {
  if (!(await page.evaluate("'axe' in globalThis"))) await page.evaluate(source)
}

function linesOf(violations: Violation[]): string[] {
  return violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html.slice(0, 200)}`))
}
