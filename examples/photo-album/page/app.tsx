import { useEffect, useState } from 'react'
import { Album } from './album.tsx'
import { readUser, signOut } from './album-api.ts'
import { SignIn } from './sign-in.tsx'
import { UploadPhotos } from './upload-photos.tsx'

export function App() {
  /** undefined: not known yet; null: nobody is signed in. */
  const [user, setUser] = useState<string | null>()

  useEffect(() => {
    readUser().then(({ name }) => setUser(name))
  }, [])

  if (user === undefined) return null
  if (user === null) return <SignIn onSignedIn={setUser} />
  return (
    <>
      <header>
        <h1>Photos of {user}</h1>
        <button type="button" onClick={() => signOut().then(({ name }) => setUser(name))}>
          Sign out
        </button>
      </header>
      <main>
        <UploadPhotos />
        <Album />
      </main>
    </>
  )
}
