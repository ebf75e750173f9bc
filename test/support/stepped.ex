defmodule Racefree.Stepped do
  @moduledoc """
  Runs the compiled code of a module one outside call at a time, so that a test can do something at each of them.

  `load/1` takes the abstract code that the compiler left in a module's beam file, routes every call that has an
  effect on other processes or on native state through `step/3`, and loads the result under another name. The module
  under test stays as it is. No list of steps is written down anywhere: what the code calls is what is stepped through.

  Left out: calls inside guards and patterns, which have no effects, and captured functions.
  """

  @effects_of_erlang ~w(monitor demonitor alias unalias is_process_alive send spawn spawn_link spawn_monitor
                        spawn_opt spawn_request exit link unlink process_flag whereis register)a
  @effectful [
    Process,
    GenServer,
    Registry,
    Racefree.Registry,
    :gen,
    :gen_server,
    :persistent_term,
    :ets,
    :proc_lib,
    Task
  ]

  @doc "Loads stepped twins of `modules`; gives the twin of each. Calls between them stay among the twins."
  @spec load([module()]) :: %{module() => module()}
  def load(modules), do: load_compiled(for module <- modules, do: {module, :code.which(module)})

  @doc "Like `load/1`, of modules that are given with their compiled code."
  @spec load_compiled([{module(), binary() | charlist()}]) :: %{module() => module()}
  def load_compiled(modules) do
    twins = Map.new(modules, fn {module, _code} -> {module, Module.concat(module, "Stepped")} end)
    for {module, code} <- modules, do: load(module, code, twins)
    twins
  end

  @doc """
  Runs `scenario` once for each point of the operation that it holds, and gives the number of points.

  The scenario is called with a function `hold`: `hold.(operation, disturb)` runs `operation` and calls `disturb` at one
  point, before or after one outside call; run number n at point n. It ends when the operation has fewer points.
  """
  @spec sweep(((operation :: (() -> term()), disturb :: (term() -> term()) -> term()) -> term())) ::
          non_neg_integer()
  def sweep(scenario), do: sweep(scenario, 0)

  defp sweep(scenario, index) do
    reached = :atomics.new(1, [])
    scenario.(&held(&1, &2, index, reached))
    if :atomics.get(reached, 1) == 1, do: sweep(scenario, index + 1), else: index
  end

  defp held(operation, disturb, index, reached) do
    counter = :atomics.new(1, [])

    hook = fn point ->
      if :atomics.add_get(counter, 1, 1) == index + 1 do
        :atomics.put(reached, 1, 1)
        disturb.(point)
      end
    end

    Process.put(__MODULE__, hook)

    try do
      operation.()
    after
      Process.delete(__MODULE__)
    end
  end

  @doc false
  def step(module, function, arguments) do
    case Process.get(__MODULE__) do
      nil ->
        apply(module, function, arguments)

      hook ->
        hook.({:before, {module, function, length(arguments)}})
        result = apply(module, function, arguments)
        hook.({:after, {module, function, length(arguments)}})
        result
    end
  end

  defp load(module, code, twins) do
    twin = Map.fetch!(twins, module)

    {:ok, {^module, [debug_info: {:debug_info_v1, backend, data}]}} =
      :beam_lib.chunks(code, [:debug_info])

    {:ok, forms} = backend.debug_info(:erlang_v1, module, data, [])
    forms = for form <- forms, do: rename(form, twin, twins)
    {:ok, ^twin, binary} = :compile.forms(forms, [:nowarn_unused_vars, :nowarn_nomatch])
    {:module, ^twin} = :code.load_binary(twin, ~c"#{twin}", binary)
  end

  defp rename({:attribute, line, :module, _module}, twin, _twins),
    do: {:attribute, line, :module, twin}

  defp rename({:function, line, name, arity, clauses}, _twin, twins),
    do: {:function, line, name, arity, walk(clauses, twins)}

  defp rename(form, _twin, _twins), do: form

  defp walk({:clause, line, patterns, guards, body}, twins),
    do: {:clause, line, patterns, guards, walk(body, twins)}

  defp walk(
         {:call, line, {:remote, remote, {:atom, _, module}, {:atom, _, function}}, arguments},
         twins
       ) do
    arguments = walk(arguments, twins)
    target = Map.get(twins, module, module)

    if target == module and effect?(module, function) do
      call(line, __MODULE__, :step, [
        {:atom, line, module},
        {:atom, line, function},
        list(line, arguments)
      ])
    else
      {:call, line, {:remote, remote, {:atom, remote, target}, {:atom, remote, function}},
       arguments}
    end
  end

  # `!` is `:erlang.send/2` by another name.
  defp walk({:op, line, :!, to, message}, twins) do
    arguments = [walk(to, twins), walk(message, twins)]

    call(line, __MODULE__, :step, [
      {:atom, line, :erlang},
      {:atom, line, :send},
      list(line, arguments)
    ])
  end

  defp walk(nodes, twins) when is_list(nodes), do: Enum.map(nodes, &walk(&1, twins))

  defp walk(node, twins) when is_tuple(node),
    do: node |> Tuple.to_list() |> Enum.map(&walk(&1, twins)) |> List.to_tuple()

  defp walk(node, _twins), do: node

  defp call(line, module, function, arguments) do
    {:call, line, {:remote, line, {:atom, line, module}, {:atom, line, function}}, arguments}
  end

  defp list(line, nodes), do: List.foldr(nodes, {nil, line}, &{:cons, line, &1, &2})

  defp effect?(:erlang, function), do: function in @effects_of_erlang
  defp effect?(module, _function), do: module in @effectful or module == Racefree.Native
end
