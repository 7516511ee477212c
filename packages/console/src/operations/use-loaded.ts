import { useCallback, useEffect, useRef, useState } from 'preact/hooks'

/** What a page has loaded. After a failed reload, the earlier data stays. */
export type Loaded<Data> = {
  data: Data | undefined
  /** Why the last attempt failed; empty if it did not. */
  problem: string
  isLoading: boolean
  reload: () => Promise<void>
}

/**
 * Loads data for a component.
 *
 * @param load is called at first, and whenever it is another function: wrap it in `useCallback`
 */
export function useLoaded<Data>(load: () => Promise<Data>): Loaded<Data> {
  const [data, setData] = useState<Data>()
  const [problem, setProblem] = useState('')
  const [isLoading, setIsLoading] = useState(true)
  const latest = useRef(0)
  const reload = useCallback(async () => {
    latest.current += 1
    const own = latest.current
    setIsLoading(true)
    try {
      const loaded = await load()
      if (own !== latest.current) return
      setData(loaded)
      setProblem('')
    } catch (error) {
      if (own === latest.current) setProblem(error instanceof Error ? error.message : String(error))
    } finally {
      if (own === latest.current) setIsLoading(false)
    }
  }, [load])
  useEffect(() => {
    setData(undefined)
    void reload()
    return () => {
      latest.current += 1
    }
  }, [reload])
  return { data, problem, isLoading, reload }
}
