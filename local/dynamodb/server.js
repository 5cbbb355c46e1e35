// Serves dynalite on the loopback interface: `node server.js PORT [DIRECTORY]`. Without a directory
// it keeps nothing. What dynalite's own command line does otherwise: it announces itself in words
// instead of a line that a program reads, it closes idle connections after 5 s, sometimes just as a
// client reuses one, and it dies with a client that breaks off in the middle of a request.
const [port, path] = process.argv.slice(2)
const server = require('dynalite')({ path, createTableMs: 0, deleteTableMs: 0, updateTableMs: 0 })
server.keepAliveTimeout = 0
server.on('request', (request) => {
  request.removeAllListeners('error') // dynalite's throws
  request.on('error', () => request.destroy())
})

// dynalite has no TransactWriteItems: this is as much of it as the buffer asks for, conditional puts
// of new items. One transaction at a time; it is no more proof against kill -9 than a batch.
const TRANSACT = 'DynamoDB_20120810.TransactWriteItems'
const [serve] = server.listeners('request')
server.removeListener('request', serve)
server.prependListener('request', (request, response) => {
  if (request.headers['x-amz-target'] !== TRANSACT) return serve.call(server, request, response)
  const chunks = []
  request.on('data', (chunk) => chunks.push(chunk))
  request.on('end', () => {
    turn = turn
      .then(() => transact(JSON.parse(Buffer.concat(chunks)).TransactItems, request.headers))
      .catch((error) => [500, { __type: 'InternalServerError', message: String(error) }])
      .then(([status, body]) => {
        response.writeHead(status, { 'Content-Type': 'application/x-amz-json-1.0' })
        response.end(JSON.stringify(body))
      })
  })
})
let turn = Promise.resolve()

async function transact(items, headers) {
  const ask = async (operation, body) => {
    const answer = await fetch(`http://127.0.0.1:${server.address().port}`, {
      method: 'POST',
      headers: {
        authorization: headers.authorization,
        'x-amz-date': headers['x-amz-date'],
        'content-type': headers['content-type'],
        'x-amz-target': `DynamoDB_20120810.${operation}`,
      },
      body: JSON.stringify(body),
    })
    if (!answer.ok) throw new Error(await answer.text())
    return answer.json()
  }
  const puts = items.map((item) => item.Put)
  const found = await Promise.all(
    puts.map(({ TableName, Item }) =>
      ask('GetItem', { TableName, Key: { id: Item.id }, ConsistentRead: true }),
    ),
  )
  if (found.some(({ Item }) => Item)) {
    const reasons = found.map(({ Item }) =>
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
    await ask('BatchWriteItem', { RequestItems })
  }
  return [200, {}]
}

server.listen(Number(port), '127.0.0.1', () => {
  console.log(JSON.stringify({ url: `http://127.0.0.1:${server.address().port}` }))
})
