/**
 * Returns what `npm start` prints when everything runs. Tools can parse the first line; its format is stable.
 * @param options.url origin of the console and the API
 * @param options.directory the data directory
 */
export function readyMessage({ url, directory }: { url: string; directory: string }): string {
  const rows = [
    ['Console', url],
    ['API', url],
    ['API documentation', `${url}/docs`],
    ['Fleet', `${url}/console/fleet`],
    ['Files are kept in', directory],
  ] as const
  const width = Math.max(...rows.map(([label]) => label.length))
  const list = rows.map(([label, value]) => `  ${label.padEnd(width)}  ${value}\n`).join('')
  return `Millrace is ready: ${url}\n\n${list}\nPress Ctrl-C to stop. The files are kept.\n`
}
