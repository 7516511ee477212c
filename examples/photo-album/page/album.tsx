import { useEffect, useState } from 'react'
import { deletePhoto, listPhotos, type Photo, photoUrl } from './album-api.ts'

/** The photos that webhooks have added to the album. */
export function Album() {
  const [photos, setPhotos] = useState<Photo[]>()

  useEffect(() => {
    const changes = new EventSource('/api/photos/changes')
    // The first event comes at once, and again after each lost connection.
    changes.addEventListener('change', () => listPhotos().then(setPhotos))
    return () => changes.close()
  }, [])

  if (!photos) return null
  return (
    <section aria-label="Album">
      {photos.length === 0 && <p className="note">No photos yet.</p>}
      <ul className="photos">
        {photos.map((photo) => (
          <li key={photo.id}>
            <a href={photoUrl(photo, 'w1920')}>
              <img
                src={photoUrl(photo, 'w320')}
                alt={photo.title}
                width={photo.width}
                height={photo.height}
                loading="lazy"
              />
            </a>
            <button
              type="button"
              aria-label={`Delete ${photo.title}`}
              onClick={() => deletePhoto(photo.id).catch((error) => window.alert(error.message))}
            >
              Delete
            </button>
          </li>
        ))}
      </ul>
    </section>
  )
}
