// Serves dynalite on the loopback interface: `node server.js PORT [DIRECTORY]`. Without a directory
// it keeps nothing. dynalite's own command line closes idle connections after 5 s, sometimes just
// as a client reuses one; and it announces itself in words instead of a line that a program reads.
const [port, path] = process.argv.slice(2)
const server = require('dynalite')({ path, createTableMs: 0, deleteTableMs: 0, updateTableMs: 0 })
server.keepAliveTimeout = 0
server.listen(Number(port), '127.0.0.1', () => {
  console.log(JSON.stringify({ url: `http://127.0.0.1:${server.address().port}` }))
})
