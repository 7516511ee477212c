import { reconcileCommand } from '@millrace/shared/command/commands.ts'
import { startCommand } from './setup/service-command.ts'

/** `npm run reconcile`: runs the worker's command with the settings of a running `npm start`, or those in the environment. */
process.exitCode = await startCommand(reconcileCommand, 'worker/src/reconcile-main.ts', process.argv.slice(2))
