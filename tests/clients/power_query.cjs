// Parses a query in Power Query's language M, from standard input, and prints as JSON what it uses.
const { readFileSync } = require('node:fs')
const { DefaultSettings, ResultUtils, TaskUtils } = require('@microsoft/powerquery-parser')

/** Visit a node and all nodes below it. */
function walk(node, visit) {
  if (node === null || typeof node !== 'object') return
  visit(node)
  Object.values(node).forEach((each) => walk(each, visit))
}

async function main() {
  const { error, ast } = await TaskUtils.tryLexParse(DefaultSettings, readFileSync(0, 'utf8'))
  if (error) throw new Error(error.message)
  const used = { calls: [], fields: [], texts: [] }
  walk(ast, ({ kind, literalKind, literal, head, content, recursiveExpressions }) => {
    if (kind === 'RecursivePrimaryExpression' && recursiveExpressions.elements[0].kind === 'InvokeExpression') {
      used.calls.push(head.identifier?.literal ?? head.literal)
    } else if (kind === 'FieldSelector') used.fields.push(content.literal)
    else if (kind === 'LiteralExpression' && literalKind === 'Text') used.texts.push(JSON.parse(literal))
  })
  console.log(JSON.stringify(used))
}

main().catch((error) => { console.error(error.message); process.exitCode = 1 })
