// Installs missing packages and then runs a TypeScript file with the project's own Node 24:
//
//   node packages/local/run.mjs [file.ts [arguments…]]
//
// This file only checks the machine's own Node. It is written so that versions since 12.17, the first ones that run modules,
// can parse it: no top-level await, and no newer syntax.

/** As `engines` in package.json. npm of older versions cannot be relied on to install the packages. */
var oldestNode = 20

if (Number.parseInt(process.versions.node, 10) >= oldestNode) {
  import('./install-and-run.mjs')
} else {
  process.stderr.write(
    'Millrace needs Node ' +
      oldestNode +
      ' or later to install itself, and this is Node ' +
      process.versions.node +
      ': install a newer one from https://nodejs.org or with your version manager, then run this command again.\n',
  )
  process.exit(1)
}
