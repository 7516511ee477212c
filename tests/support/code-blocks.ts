import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

const root = join(import.meta.dirname, '../..')

/**
 * Reads the JavaScript blocks of a page of the docs, so that tests run what people copy.
 *
 * @param page a path below the repository's root
 * @returns a function that returns the block whose first line is the comment `// title`, without the comment and imports.
 * It throws if the page has no such block
 */
export async function readCodeBlocks(page: string): Promise<(title: string) => string> {
  const text = await readFile(join(root, page), 'utf8')
  const blocks = new Map<string, string>()
  for (const [, title = '', code = ''] of text.matchAll(/^```js\n\/\/ (.*)\n([\s\S]*?)^```/gm)) {
    blocks.set(title, code.replace(/^import .*\n/gm, ''))
  }
  return (title) => {
    const code = blocks.get(title)
    if (code === undefined) throw new Error(`${page} has no block "// ${title}".`)
    return code
  }
}
