import { defineConfig } from 'vite'

// Vite compiles JSX as tsconfig.json says.
export default defineConfig({ root: 'page', build: { outDir: '../dist', emptyOutDir: true } })
