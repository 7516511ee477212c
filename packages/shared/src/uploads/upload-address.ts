/** What an upload is found by: its owner and its id. Without the owner an id finds nothing. */
export type UploadAddress = { owner: string; id: string }
