// Installs the types that sst.config.ts and stacks/ are checked against.
import { provideSstPlatform } from '../support/sst-platform.ts'

await provideSstPlatform((line) => process.stderr.write(`${line}\n`))
