// Serve dynalite on the loopback interface: `node server.js PORT [DIRECTORY]`. Without a directory
// the items are in memory only. Differences from dynalite's own command line:
// - It prints its URL as a line of JSON, which the parent process reads.
// - It keeps idle connections open. After dynalite's 5 s a client may reuse one while it closes.
// - It refuses requests of web pages, which have an Origin. dynalite lets every page read every answer, and
//   checks no signature.
// - It survives a client that aborts a request. dynalite throws and exits.
const [port, path] = process.argv.slice(2)
require('./level')
const server = require('dynalite')({ path, createTableMs: 0, deleteTableMs: 0, updateTableMs: 0 })
server.keepAliveTimeout = 0
server.on('request', (request) => {
  request.removeAllListeners('error') // dynalite's listener throws
  request.on('error', () => request.destroy())
})

// dynalite lacks TransactWriteItems. This implements what the buffer uses: puts on the condition that
// the item does not exist. Transactions run one at a time. After a kill -9 a transaction may be
// partly applied, as a batch may.
const TRANSACT = 'DynamoDB_20120810.TransactWriteItems'
const [handle] = server.listeners('request')
server.removeListener('request', handle)
server.prependListener('request', (request, response) => {
  if ('origin' in request.headers) {
    response.writeHead(403, { 'Content-Type': 'application/x-amz-json-1.0', Connection: 'close' })
    response.end('{"__type":"AccessDeniedException","message":"Web pages have no access."}')
    return
  }
  if (request.headers['x-amz-target'] !== TRANSACT) return handle.call(server, request, response)
  const chunks = []
  request.on('data', (chunk) => chunks.push(chunk))
  request.on('end', () => {
    queue = queue
      .then(() => transact(JSON.parse(Buffer.concat(chunks)).TransactItems, request.headers))
      .catch((error) => [500, { __type: 'InternalServerError', message: String(error) }])
      .then(([status, body]) => {
        response.writeHead(status, { 'Content-Type': 'application/x-amz-json-1.0' })
        response.end(JSON.stringify(body))
      })
  })
})
let queue = Promise.resolve()

async function transact(items, headers) {
  const call = async (operation, body) => {
    const reply = await fetch(`http://127.0.0.1:${server.address().port}`, {
      method: 'POST',
      headers: {
        authorization: headers.authorization,
        'x-amz-date': headers['x-amz-date'],
        'content-type': headers['content-type'],
        'x-amz-target': `DynamoDB_20120810.${operation}`,
      },
      body: JSON.stringify(body),
    })
    if (!reply.ok) throw new Error(await reply.text())
    return reply.json()
  }
  const puts = items.map((item) => item.Put)
  const stored = await Promise.all(
    puts.map(({ TableName, Item }) =>
      call('GetItem', { TableName, Key: { id: Item.id }, ConsistentRead: true }),
    ),
  )
  if (stored.some(({ Item }) => Item)) {
    const reasons = stored.map(({ Item }) =>
      Item ? { Code: 'ConditionalCheckFailed', Item } : { Code: 'None' },
    )
    const type = 'com.amazonaws.dynamodb.v20120810#TransactionCanceledException'
    return [400, { __type: type, Message: 'Transaction cancelled', CancellationReasons: reasons }]
  }
  for (let first = 0; first < puts.length; first += 25) {
    const RequestItems = {}
    for (const { TableName, Item } of puts.slice(first, first + 25)) {
      ;(RequestItems[TableName] ??= []).push({ PutRequest: { Item } })
    }
    await call('BatchWriteItem', { RequestItems })
  }
  return [200, {}]
}

server.listen(Number(port), '127.0.0.1', () => {
  console.log(JSON.stringify({ url: `http://127.0.0.1:${server.address().port}` }))
})
