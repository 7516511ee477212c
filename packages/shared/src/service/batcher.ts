/**
 * Collects what is asked in one turn of the event loop, and asks it all at once.
 *
 * @param ask gets the questions and answers them in their order
 * @param most how many questions go together at most
 * @returns asks one question; rejects, with all that were asked together, where `ask` does
 */
export function createBatcher<Question, Answer>(
  ask: (questions: Question[]) => Promise<Answer[]>,
  most: number,
) {
  let waiting: { question: Question; resolve(answer: Answer): void; reject(reason: unknown): void }[] = []

  function send(): void {
    const sent = waiting
    waiting = []
    for (let start = 0; start < sent.length; start += most) {
      const some = sent.slice(start, start + most)
      ask(some.map(({ question }) => question)).then(
        (answers) => {
          for (const [index, { resolve, reject }] of some.entries()) {
            const answer = answers[index]
            if (answer === undefined) reject(new Error('A question was left without an answer.'))
            else resolve(answer)
          }
        },
        (error: unknown) => {
          for (const { reject } of some) reject(error)
        },
      )
    }
  }

  return (question: Question): Promise<Answer> =>
    new Promise((resolve, reject) => {
      if (waiting.length === 0) setImmediate(send)
      waiting.push({ question, resolve, reject })
    })
}
