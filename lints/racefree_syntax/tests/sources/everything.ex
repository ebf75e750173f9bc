defmodule Foo.Bar do
  use GenServer, restart: :temporary
  alias Foo.{A, B}
  alias X.Y, as: Z
  import Enum, only: [map: 2]
  @behaviour Z.Beh
  @timeout 5_000
  @type t :: %__MODULE__{} | {:ok, pid(), (integer -> A.t())}
  defstruct [:a, b: 1]
  @spec get(t(), key :: atom) :: {:ok, x} | nil when x: term
  @impl true
  def get(a, key \\ :k, opts \\ []) when is_map(a) and key != nil do
    x = a |> Map.get(key) |> case do
      nil -> :none
      {:ok, v, v} -> v
      other when other > 1 -> other
    end
    if y = B.f(x) do
      y = 1
      y
    else
      foo
    end
    z = fn x, 1 -> x + y; _, _ -> __MODULE__.foo(a.b.c) end
    Enum.map(opts, & &1.id + &2)
    Enum.each(opts, &Z.run/1)
    z.(1) |> then(&{&1, key})
    "a#{x}b\n#{inspect y}" <> ~s(abc)
  rescue
    e in [ArgumentError, B.Err] -> reraise e, __STACKTRACE__
  catch
    :exit, {:noproc, _} -> nil
    x -> x
  after
    cleanup()
  end
  defdelegate foo(a, b \\ 1), to: Z, as: :bar
  defmodule Inner do
    def hi, do: %Inner{a | b: 1, c: 2}
    def rec(%{a: a, "b" => ^a} = m, [h | t], <<n::8, rest::binary>>, "x" <> y), do: Inner.hi()
  end
  defp loop(s) do
    receive do
      {:DOWN, ref, _, _, _} when ref == s.ref -> Inner.hi
      ^s -> nil
    after
      @timeout -> loop(s)
    end
    with {:ok, a} <- f(s), b = g(a), :ok when b > 1 <- h() do
      a
    else
      :error -> nil
      {:error, r} -> r
    end
    for {k, v} <- s, v > 1, into: %{}, do: {k, v}
    for <<c <- s>>, reduce: 0 do acc -> acc + c end
    cond do
      s > 1 -> 1
      s < 1 -> 2
      true -> 3
    end
    unless s, do: 1, else: 2
    apply(Foo, :bar, [1, 2]); apply(Foo, s, [1])
    s[:a][:b] || !s && not s
    1..10//2
    a not in [1]
    assert_receive {:x, q}
    %{s | a: 1}
    q
  end
  # racefree:allow nil_pid_call - because
end
