import { createContext } from 'preact'

/** Whether the page that is shown was opened from another page of the console, not by loading it. */
export const HasNavigated = createContext({ current: false })
