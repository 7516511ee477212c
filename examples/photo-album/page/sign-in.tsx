import { type SubmitEvent, useState } from 'react'
import { signIn } from './album-api.ts'

export function SignIn({ onSignedIn }: { onSignedIn: (user: string) => void }) {
  const [error, setError] = useState('')

  async function submit(event: SubmitEvent<HTMLFormElement>) {
    event.preventDefault()
    const name = new FormData(event.currentTarget).get('name')
    try {
      onSignedIn((await signIn(String(name))).name)
    } catch (thrown) {
      setError(thrown instanceof Error ? thrown.message : String(thrown))
    }
  }

  return (
    <main>
      <form className="sign-in" onSubmit={submit}>
        <h1>Photo album</h1>
        <label>
          Your name
          <input name="name" autoComplete="username" required maxLength={40} />
        </label>
        <button type="submit">Sign in</button>
        <p className="note">This example asks for no password: any name is an account.</p>
        <p role="alert">{error}</p>
      </form>
    </main>
  )
}
