// Other people's upload fields with their defaults, for forms-in-the-wild.test.ts.
export { default as Dropzone } from 'dropzone'
export { create as createFilePond } from 'filepond'
