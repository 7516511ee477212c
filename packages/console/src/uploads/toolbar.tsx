import { LayoutGrid, List, Search, X } from 'lucide-preact'
import type { RefObject } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { Button } from '../design/button.tsx'
import '../design/field.css'
import type { Look } from './collection-layout.ts'
import type { UploadQuery, UploadState } from './store/upload-query.ts'

/** How long a reader pauses before what was typed is searched, in ms. */
const typingMs = 250

/** States that are filtered together, by what readers ask. */
const stateChoices: { label: string; states: readonly UploadState[] }[] = [
  { label: 'All states', states: [] },
  { label: 'Ready', states: ['ready'] },
  { label: 'Under way', states: ['received', 'processing'] },
  { label: 'Rejected or failed', states: ['rejected', 'failed'] },
  { label: 'Rejected', states: ['rejected'] },
  { label: 'Failed', states: ['failed'] },
  { label: 'Waiting for file', states: ['awaiting'] },
]

/**
 * Search, filters, order and the choice between grid and list.
 *
 * @param props.searchField for the shortcut that focuses it
 * @param props.isAdministrator whether uploads of a user of the tenant can be chosen
 * @param props.onQuery called with the next query; `isTyping` while a text is being changed
 */
export function Toolbar(props: {
  query: UploadQuery
  look: Look
  searchField: RefObject<HTMLInputElement>
  isAdministrator: boolean
  onQuery: (query: UploadQuery, options?: { isTyping: boolean }) => void
  onLook: (look: Look) => void
}) {
  const { query, look, searchField, isAdministrator, onQuery, onLook } = props
  const type = (change: Partial<UploadQuery>) => onQuery({ ...query, ...change }, { isTyping: true })
  const states = query.states.join(',')
  const isListed = stateChoices.some((choice) => choice.states.join(',') === states)
  return (
    <search class="toolbar">
      <TypedField
        class="search-field"
        field={searchField}
        label="Search uploads"
        placeholder="Name begins with… or album=summer"
        shortcut="/"
        value={query.search}
        onType={(search) => type({ search })}
      />
      <select
        class="input"
        aria-label="State"
        value={states}
        onChange={({ currentTarget: { value } }) => {
          const choice = stateChoices.find((each) => each.states.join(',') === value)
          if (choice) onQuery({ ...query, states: choice.states })
        }}
      >
        {stateChoices.map((choice) => (
          <option key={choice.label} value={choice.states.join(',')}>
            {choice.label}
          </option>
        ))}
        {!isListed && <option value={states}>Several states</option>}
      </select>
      <select
        class="input"
        aria-label="Order"
        value={query.order}
        onChange={({ currentTarget: { value } }) =>
          onQuery({ ...query, order: value === 'oldest' ? 'oldest' : 'newest' })
        }
      >
        <option value="newest">Newest first</option>
        <option value="oldest">Oldest first</option>
      </select>
      {(isAdministrator || query.user !== '') && (
        <TypedField
          class="user-field"
          label="User of the tenant"
          placeholder="User"
          value={query.user}
          onType={(user) => type({ user })}
        />
      )}
      <fieldset class="look-switch">
        <legend class="visually-hidden">View</legend>
        {(['grid', 'list'] as const).map((each) => (
          <label key={each} title={each === 'grid' ? 'Grid' : 'List'}>
            <input
              type="radio"
              name="look"
              class="visually-hidden"
              aria-label={each === 'grid' ? 'Grid' : 'List'}
              checked={look === each}
              onChange={() => onLook(each)}
            />
            {each === 'grid' ? <LayoutGrid aria-hidden="true" /> : <List aria-hidden="true" />}
          </label>
        ))}
      </fieldset>
    </search>
  )
}

/** A field whose text is used when its reader pauses, or presses Enter. */
function TypedField(props: {
  class: string
  field?: RefObject<HTMLInputElement>
  label: string
  placeholder: string
  shortcut?: string
  value: string
  onType: (text: string) => void
}) {
  const { field, label, placeholder, shortcut, value, onType } = props
  const own = useRef<HTMLInputElement>(null)
  const input = field ?? own
  const [text, setText] = useState(value)
  const sent = useRef(value)
  // The address changed by something else, such as the browser's Back.
  useEffect(() => {
    if (value === sent.current) return
    sent.current = value
    setText(value)
  }, [value])
  const send = (next: string) => {
    if (next === sent.current) return
    sent.current = next
    onType(next)
  }
  useEffect(() => {
    const timer = setTimeout(() => send(text), typingMs)
    return () => clearTimeout(timer)
  }, [text])
  const empty = () => {
    setText('')
    send('')
    input.current?.focus()
  }
  return (
    <div class={props.class}>
      <Search aria-hidden="true" />
      <input
        ref={input}
        class="input"
        type="search"
        autocomplete="off"
        spellcheck={false}
        aria-label={label}
        aria-keyshortcuts={shortcut}
        placeholder={placeholder}
        value={text}
        onInput={({ currentTarget }) => setText(currentTarget.value)}
        onKeyDown={({ key }) => {
          if (key === 'Enter') send(text)
          else if (key === 'Escape' && text !== '') empty()
        }}
      />
      {text === '' && shortcut && <kbd>{shortcut}</kbd>}
      {text !== '' && <Button label="Clear" icon={X} look="quiet" iconOnly onClick={empty} />}
    </div>
  )
}
