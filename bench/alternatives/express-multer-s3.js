// The usual upload of an Express application: multer parses the form, multer-s3 streams the file to S3.
import { S3Client } from '@aws-sdk/client-s3'
import express from 'express'
import multer from 'multer'
import multerS3 from 'multer-s3'

const s3 = new S3Client({ forcePathStyle: true })
const storage = multerS3({
  s3,
  bucket: process.env.BUCKET,
  key: (_request, file, done) => done(null, `${Date.now()}-${Math.random()}-${file.originalname}`),
})
const app = express()
app.post('/upload', multer({ storage }).single('file'), (request, response) => {
  response.status(201).json({ key: request.file.key, size: request.file.size })
})
app.listen(Number(process.env.PORT), '127.0.0.1')
