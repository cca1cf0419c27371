// Reads {"schema": {table: "(column: type, ...)"}, "queries": {name: text}} and tells, for each query,
// what Microsoft's language service finds wrong with it and which columns it gives.
require("@kusto/language-service-next/bridge.min.js");
require("@kusto/language-service-next/Kusto.Language.Bridge.min.js");

const { GlobalState, KustoCode, Symbols } = Kusto.Language;

function globals(schema) {
  const tables = Object.entries(schema).map(([name, columns]) => new Symbols.TableSymbol.$ctor7(name, columns, null));
  return GlobalState.Default.WithDatabase(new Symbols.DatabaseSymbol.ctor("workspace", tables));
}

function checked(text, state) {
  const code = KustoCode.ParseAndAnalyze(text, state);
  const found = code.GetDiagnostics();
  const problems = [];
  for (let i = 0; i < found.Count; i++) {
    const each = found.getItem(i);
    problems.push(`${each.Severity}: ${each.Message} at '${text.substr(each.Start, each.Length || 20)}'`);
  }
  const columns = {};
  const result = code.ResultType;
  if (result && result.Columns) {
    for (let i = 0; i < result.Columns.Count; i++) {
      const column = result.Columns.getItem(i);
      columns[column.Name] = column.Type.Name;
    }
  }
  return { problems, columns };
}

let input = "";
process.stdin.on("data", (chunk) => (input += chunk));
process.stdin.on("end", () => {
  const { schema, queries } = JSON.parse(input);
  const state = globals(schema);
  const answer = Object.fromEntries(Object.entries(queries).map(([name, text]) => [name, checked(text, state)]));
  process.stdout.write(JSON.stringify(answer));
});
