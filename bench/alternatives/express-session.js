// The usual session of an Express application: express-session, stored in Redis by connect-redis.
import { RedisStore } from 'connect-redis'
import express from 'express'
import session from 'express-session'
import { createClient } from 'redis'

const client = createClient({ url: process.env.REDIS_URL })
await client.connect()
const app = express()
app.use(
  session({
    store: new RedisStore({ client, prefix: 'express:' }),
    secret: 'any secret of thirty-two characters',
    resave: false,
    saveUninitialized: false,
    cookie: { maxAge: 30 * 24 * 60 * 60 * 1000 },
  }),
)
app.get('/session', (request, response) => {
  request.session.createdAt ??= new Date().toISOString()
  request.session.views = (request.session.views ?? 0) + 1
  const { views, createdAt, cookie } = request.session
  response.json({ views, user: null, createdAt, expiresAt: cookie.expires, servedBy: 'express' })
})
app.listen(Number(process.env.PORT), '127.0.0.1')
