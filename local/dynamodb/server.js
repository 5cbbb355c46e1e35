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
server.listen(Number(port), '127.0.0.1', () => {
  console.log(JSON.stringify({ url: `http://127.0.0.1:${server.address().port}` }))
})
