import { ApiProblem } from '@millrace/client'
import { useState } from 'preact/hooks'

/**
 * Sends a form, and says what was wrong with it.
 *
 * @param send does it; if it throws, the form stays with the reason
 * @returns `problem` of the whole form, `fieldProblem` of one field as the API names it, `submit` for `onSubmit`
 */
export function useForm(send: () => Promise<void>) {
  const [error, setError] = useState<unknown>()
  const [isBusy, setIsBusy] = useState(false)
  const fields = error instanceof ApiProblem ? (error.problem?.errors ?? []) : []
  return {
    isBusy,
    problem: error === undefined ? '' : error instanceof Error ? error.message : String(error),
    isWrong: (field: string): boolean => fields.some((wrong) => wrong.field.startsWith(field)),
    submit: async (event: SubmitEvent) => {
      event.preventDefault()
      if (isBusy) return
      setIsBusy(true)
      setError(undefined)
      await send().catch(setError)
      setIsBusy(false)
    },
  }
}
